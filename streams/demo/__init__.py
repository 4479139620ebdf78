"""`tidegate demo`: a real Kafka, a simulated fleet, and all of tidegate around it; what became of nine incidents."""

from streams.demo.orchestrate import Demo, DemoOptions, run_demo

__all__ = ["Demo", "DemoOptions", "run_demo"]
