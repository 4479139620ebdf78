"""`tidegate demo`: a real Kafka, a real worker and a simulated fleet; three incidents, and what became of them."""

from streams.demo.orchestrate import DemoOptions, run_demo

__all__ = ["DemoOptions", "run_demo"]
