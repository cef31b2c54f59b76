"""The thin library under JW-VL's numbered notebooks: one module per idea, imports point down only."""

__version__ = "0.1.0"
