// A shared library that is no plugin: it does not export poise_plugin.
extern "C" __attribute__((visibility("default"))) int something_else();
extern "C" int something_else() { return 1; }
