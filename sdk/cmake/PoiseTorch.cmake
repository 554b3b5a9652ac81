# Finds LibTorch and defines what Poise and its plugins link: poise::torch (made of poise::torch_cpu and poise::c10).
#
# LibTorch is looked for in POISE_TORCH (environment, remembered in the cache variable of that name), else where an
# installed Poise found it when it was built, else where packaging/install-dependencies.sh puts it. The folder is an
# official LibTorch (include/, lib/) or what "pip install --target" leaves (torch/include, torch/lib, nvidia/).
#
# An installed Poise says what it was built with, and nothing else is taken: POISE_BUILT_TORCH ("2.11.0, variant cpu")
# and POISE_BUILT_TORCH_ROOT (see poiseConfig.cmake.in).
#
# Sets POISE_TORCH_VERSION ("2.11.0"), POISE_TORCH_VARIANT ("cpu", "cu130") and POISE_TORCH_ROOT (the folder with lib/).
#
# find_package(Torch) is not used: on a CUDA build of LibTorch it asks for the CUDA toolkit, and links libtorch.so, which
# pulls in libtorch_cuda.so and gigabytes of CUDA libraries. libtorch_cuda.so registers itself when it is opened, so the
# host opens it at run time, and one build serves machines with and without a GPU.
include_guard()

set(_poise_torch_wanted 2.11)

set(POISE_TORCH "" CACHE PATH "Folder of LibTorch; empty: the one in the user's cache folder")
if(NOT "$ENV{POISE_TORCH}" STREQUAL "")
  set(_poise_torch_root "$ENV{POISE_TORCH}")
  cmake_path(ABSOLUTE_PATH _poise_torch_root BASE_DIRECTORY "${CMAKE_SOURCE_DIR}" NORMALIZE)
  set_property(CACHE POISE_TORCH PROPERTY VALUE "${_poise_torch_root}")
endif()
if(POISE_TORCH)
  set(_poise_torch_root "${POISE_TORCH}")
elseif(IS_DIRECTORY "${POISE_BUILT_TORCH_ROOT}")
  set(_poise_torch_root "${POISE_BUILT_TORCH_ROOT}")
elseif(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(_poise_torch_root "$ENV{XDG_CACHE_HOME}/poise/torch-2.11.0")
else()
  set(_poise_torch_root "$ENV{HOME}/.cache/poise/torch-2.11.0")
endif()
set(_poise_torch_given "${_poise_torch_root}")
if(IS_DIRECTORY "${_poise_torch_root}/torch/lib")
  string(APPEND _poise_torch_root "/torch")
endif()
set(POISE_TORCH_ROOT "${_poise_torch_root}")

foreach(_file lib/libc10.so lib/libtorch_cpu.so include/torch/headeronly/version.h)
  if(NOT EXISTS "${_poise_torch_root}/${_file}")
    message(FATAL_ERROR "LibTorch ${_poise_torch_wanted} is not in ${_poise_torch_given}: ${_file} is missing. "
      "Run packaging/install-dependencies.sh of Poise, or set POISE_TORCH to a folder that holds LibTorch.")
  endif()
endforeach()

file(STRINGS "${_poise_torch_root}/include/torch/headeronly/version.h" _poise_torch_numbers
  REGEX "^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
list(TRANSFORM _poise_torch_numbers REPLACE "^.* " "")
list(JOIN _poise_torch_numbers "." POISE_TORCH_VERSION)

# "2.11.0+cu130" stands in version.py of a wheel and in build-version of an official LibTorch.
set(POISE_TORCH_VARIANT cpu)
foreach(_file version.py build-version)
  if(EXISTS "${_poise_torch_root}/${_file}")
    file(STRINGS "${_poise_torch_root}/${_file}" _poise_torch_lines REGEX "[0-9]\\+[a-z0-9]+")
    if(_poise_torch_lines MATCHES "[0-9]\\+([a-z0-9]+)")
      set(POISE_TORCH_VARIANT "${CMAKE_MATCH_1}")
    endif()
  endif()
endforeach()

set(_poise_torch_found "${POISE_TORCH_VERSION}, variant ${POISE_TORCH_VARIANT}")
if(POISE_BUILT_TORCH AND NOT _poise_torch_found STREQUAL POISE_BUILT_TORCH)
  message(FATAL_ERROR "This Poise was built with LibTorch ${POISE_BUILT_TORCH}, so its plugins must be too, and "
    "${_poise_torch_given} holds LibTorch ${_poise_torch_found}. Set POISE_TORCH to a folder that holds LibTorch "
    "${POISE_BUILT_TORCH}, or install a Poise that was built with the other.")
elseif(NOT POISE_TORCH_VERSION MATCHES "^2\\.11\\.")
  message(FATAL_ERROR "Poise needs LibTorch ${_poise_torch_wanted}, and ${_poise_torch_given} holds "
    "${POISE_TORCH_VERSION}. Run packaging/install-dependencies.sh of Poise, or set POISE_TORCH to another folder.")
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

if(NOT TARGET poise::torch)
  add_library(poise::c10 SHARED IMPORTED)
  set_target_properties(poise::c10 PROPERTIES
    IMPORTED_LOCATION "${_poise_torch_root}/lib/libc10.so"
    IMPORTED_SONAME libc10.so
    INTERFACE_INCLUDE_DIRECTORIES "${_poise_torch_root}/include")

  add_library(poise::torch_cpu SHARED IMPORTED)
  set_target_properties(poise::torch_cpu PROPERTIES
    IMPORTED_LOCATION "${_poise_torch_root}/lib/libtorch_cpu.so"
    IMPORTED_SONAME libtorch_cpu.so
    INTERFACE_INCLUDE_DIRECTORIES "${_poise_torch_root}/include/torch/csrc/api/include"
    INTERFACE_LINK_LIBRARIES "poise::c10;Threads::Threads")

  add_library(poise::torch INTERFACE IMPORTED)
  target_link_libraries(poise::torch INTERFACE poise::torch_cpu poise::c10)
endif()
