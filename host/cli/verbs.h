#pragma once

namespace CLI {
class App;
}

namespace poise {

// One function a verb, each in the file of its name. It adds the verb to the command line; the verb's
// callback does the work when the command line has been read. What goes wrong is thrown as Error, and main()
// prints it and takes the exit status from its fault; `status` is for an end that is neither (130,
// interrupted).
void add_check(CLI::App& app, int& status);
void add_new(CLI::App& app, int& status);
void add_plugins(CLI::App& app, int& status);
void add_report(CLI::App& app, int& status);
void add_run(CLI::App& app, int& status);

// A verb of `poise plugins` with a file of its own.
void add_validate(CLI::App& plugins, int& status);

}  // namespace poise
