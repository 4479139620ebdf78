// The job in Kafka Streams: tumbling windows per endpoint and second of event time, final results only (suppress).
// Run as `java KafkaStreamsJob ADDRESS TOPIC EVENTS STATE_FOLDER`; prints one JSON object.

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import java.util.UUID;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TimeWindows;

public final class KafkaStreamsJob {
    static final Duration LATENESS = Duration.ofSeconds(10);

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static final class Request {
        public String endpoint;
        public double time;
        public int status;
        public double duration_s;
    }

    record Sums(long count, long errors, double duration) {
        Sums add(Request request) {
            return new Sums(count + 1, errors + (request.status >= 500 ? 1 : 0), duration + request.duration_s);
        }
    }

    static final ObjectReader READER = new ObjectMapper().readerFor(Request.class);

    static Request decode(byte[] bytes) {
        try {
            return READER.readValue(bytes);
        } catch (IOException e) {
            throw new IllegalArgumentException(e);
        }
    }

    static byte[] encode(Sums sums) {
        return ByteBuffer.allocate(24).putLong(sums.count).putLong(sums.errors).putDouble(sums.duration).array();
    }

    static Sums sums(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        return new Sums(buffer.getLong(), buffer.getLong(), buffer.getDouble());
    }

    /** Only the stream thread writes here: there is one. */
    static final class Meter {
        final long events;
        long seen;
        double cpu;
        long wall;

        Meter(long events) {
            this.events = events;
        }

        static double cpuSeconds() {
            return ProcessHandle.current().info().totalCpuDuration().orElseThrow().toNanos() / 1e9;
        }

        void count() {
            if (seen++ == 0) {
                cpu = cpuSeconds();
                wall = System.nanoTime();
            }
            if (seen == events) {
                System.out.printf(java.util.Locale.ROOT, "{\"events\":%d,\"cpu_s\":%f,\"wall_s\":%f}%n",
                        seen, cpuSeconds() - cpu, (System.nanoTime() - wall) / 1e9);
                System.out.flush();
                Runtime.getRuntime().halt(0);
            }
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        Meter meter = new Meter(Long.parseLong(arguments[2]));
        Serde<Request> request = Serdes.serdeFrom((topic, value) -> null, (topic, bytes) -> decode(bytes));
        Serde<Sums> sums = Serdes.serdeFrom(
                (topic, value) -> encode(value), (topic, bytes) -> bytes == null ? null : sums(bytes));
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(arguments[1], Consumed.with(Serdes.String(), request)
                        .withTimestampExtractor((record, time) -> (long) (((Request) record.value()).time * 1000)))
                .peek((key, value) -> meter.count())
                .groupByKey(Grouped.with(Serdes.String(), request))
                .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(1), LATENESS))
                .aggregate(() -> new Sums(0, 0, 0), (key, value, total) -> total.add(value),
                        Materialized.with(Serdes.String(), sums))
                .suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()))
                .toStream()
                .foreach((second, total) -> { });
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "bench-" + UUID.randomUUID());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[3]);
        settings.put("auto.offset.reset", "earliest");
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
        Thread.currentThread().join();
    }
}
