//! Registry, placement, decompositions, arena, graphs and layers over any OmniHAL device.
