"""Pictures: what was recorded of a race, as text, SVG and JSON."""
