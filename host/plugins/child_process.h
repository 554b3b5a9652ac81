#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace poise {

/// How a child process came to its end.
struct ChildEnd {
  enum class Cause {
    exited,       ///< by itself, with status `number`
    signalled,    ///< by signal `number`
    timed_out,    ///< killed, since its time was over
    interrupted,  ///< killed, since this process got SIGINT or SIGTERM
  };
  Cause cause = Cause::exited;
  int number = 0;
};

/// Runs a program without input, its output in the new files `out` and `err`, and waits until it ends, at most for
/// `limit`. Call it from one thread, which may have no other children. Throws std::system_error when the program
/// cannot be started.
ChildEnd run_child(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                   const std::filesystem::path& out, const std::filesystem::path& err,
                   std::chrono::seconds limit);

}  // namespace poise
