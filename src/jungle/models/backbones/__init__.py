"""Backbones: timm models as frozen or trained extractors of frame features."""
