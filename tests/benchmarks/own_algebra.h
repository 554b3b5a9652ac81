#pragma once

namespace poise {

/// Trains own_algebra.toml in a folder of its own and prints, for every modulation, the time of a step that is spent
/// outside encoders, fusion, backward passes and updates, as a share of the joint step: its own algebra. What joint
/// training spends there, the loss, is taken off.
void own_algebra();

}  // namespace poise
