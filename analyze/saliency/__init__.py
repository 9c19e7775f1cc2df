"""Saliency of layers (DLSP) and heads (RHI), and the selection by it."""
