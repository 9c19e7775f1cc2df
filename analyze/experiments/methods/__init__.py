"""Methods side by side: what each adds over single layers, random heads, the model's own text, and no picture."""
