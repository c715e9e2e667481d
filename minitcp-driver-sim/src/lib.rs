//! MiniTCP driver-sim.
