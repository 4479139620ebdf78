"""`tidegate demo`: a real Kafka, a real worker and a simulated fleet; what became of nine incidents."""

from streams.demo.orchestrate import DemoOptions, run_demo

__all__ = ["DemoOptions", "run_demo"]
