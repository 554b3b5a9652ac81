#pragma once

#include <filesystem>
#include <string>
#include <vector>

/// What a process has left.
struct Finished {
  int status = -1;
  std::string out;
  std::string err;
};

/// A folder of its own for a test, gone with it.
class Scratch {
 public:
  explicit Scratch(const std::string& name);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Writes a file below the folder.
  void write(const std::string& name, const std::string& text) const;

 private:
  std::filesystem::path path_;
};

/// Runs the real `poise` in `folder`. `prefix` is a program, with its arguments, that runs it.
Finished poise_in(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                  const std::vector<std::string>& prefix = {});

/// The same, but sends `signal` when a line of its stderr holds `text`.
Finished interrupt_poise_in(const std::filesystem::path& folder, const std::vector<std::string>& arguments,
                            const std::string& text, int signal);
