#pragma once

namespace poise {

/// Name of the modulation that is plain joint training. Others are compared with it, a modality alone is trained by it,
/// and so is a pipeline that names none.
inline constexpr const char* joint_training = "joint";

}  // namespace poise
