"""Labels and clips: formats, splits and checks of the clips table, data sets, augmentation, downloads."""
