"""Backbone, heads, losses, the LightningModule and its checkpoint.

Shapes are in the names: B clips of a batch, T frames of a clip (padded to the longest of the batch), N frames
of any clips, H and W pixels, C channels of a picture or classes of an answer, D width of a frame's feature.
`frames_BTHWC` is uint8 RGB; `mask_BT` is true where a frame exists; `logits_BC` come before the sigmoid or
softmax.
"""
