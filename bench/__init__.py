"""What Regulars costs: CPU, calls and write units, measured side by side with the least that could do the same."""
