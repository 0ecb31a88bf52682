"""Policies of legged robots: an ONNX file, and what its exporter wrote into it or beside it.

``metadata.py``: mjlab and motion tracking (CSV), holosoma (JSON). ``deploy.py``: unitree_rl_lab's deploy.yaml.
``terms.py``: what an observation term is to a card. ``card.py``: both together.
"""
