// Stands for a second LibTorch, see bad_torch.cpp.
__attribute__((visibility("default"))) int bundled_torch();
int bundled_torch() { return 2; }
