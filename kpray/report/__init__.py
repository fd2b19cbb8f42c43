"""Figures, tables, pages and progress lines from numbers."""
