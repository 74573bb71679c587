"""Notebooks: Trio in the cells of IPython and Jupyter."""
