#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "poise/testing_folder.h"

/// What a process has left.
struct Finished {
  int status = -1;
  std::string out;
  std::string err;
};

/// A folder of its own for a test, gone with it.
class Scratch {
 public:
  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }
  /// Writes a file below the folder.
  void write(const std::string& name, const std::string& text) const;

 private:
  poise::testing::TemporaryFolder folder_;
};

/// Of a file; "" when there is none.
std::string content(const std::filesystem::path& file);

/// Small enough for a second: 480 samples of 16x16. Ends inside [train].
inline const char* const small_pipeline = R"(title = "Small"

[dataset]
plugin = "av_digits"
pairs_per_recording = 1
spectrogram = 16

[encoder.audio]
plugin = "lenet"
[encoder.image]
plugin = "lenet"

[fusion]
plugin = "concat"

[train]
epochs = 3
)";

/// Runs the real `poise` in `folder`. `prefix` is a program, with its arguments, that runs it.
Finished poise_in(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                  const std::vector<std::string>& prefix = {});

/// The same, but sends `signal` when a line of its stderr holds `text`.
Finished interrupt_poise_in(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                            const std::string& text, int signal);
