"""Widgets: one a file, each draws a Result and knows neither torch nor the engine."""
