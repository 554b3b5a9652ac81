# poise_add_plugin(NAME [VERSION x.y.z] [LICENSE spdx] [SOURCES file...] [LIBRARIES target...])
#
# Makes the plugin NAME from NAME.cpp (and SOURCES): the folder lib/poise/plugins/NAME/ of the build tree, and of an
# installation, with NAME.so, its plugin.toml and its README.md. When NAME_test.cpp stands beside it and tests are on
# (POISE_TESTS), it becomes the test NAME_test, linked with the plugin's own objects.
#
# poise_add_test(NAME source...)
# Makes a GoogleTest executable and CTest's entry for it.
#
# Poise's own plugins and, after find_package(poise), everyone else's are made by these same functions.

set(POISE_PLUGIN_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})

function(poise_add_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "VERSION;LICENSE" "SOURCES;LIBRARIES")
  if(NOT arg_VERSION)
    set(arg_VERSION ${PROJECT_VERSION})
  endif()
  if(NOT arg_LICENSE)
    set(arg_LICENSE Apache-2.0)
  endif()

  add_library(${name}_objects OBJECT ${name}.cpp ${arg_SOURCES})
  set_target_properties(${name}_objects PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                                   VISIBILITY_INLINES_HIDDEN ON)
  target_compile_definitions(${name}_objects PRIVATE POISE_PLUGIN_VERSION="${arg_VERSION}"
                                                     POISE_PLUGIN_LICENSE="${arg_LICENSE}")
  target_link_libraries(${name}_objects PUBLIC poise::sdk ${arg_LIBRARIES})

  if(COMMAND poise_precompile)
    poise_precompile(${name}_objects)
  endif()

  set(destination lib/poise/plugins/${name})
  set(folder ${PROJECT_BINARY_DIR}/${destination})
  add_library(${name} MODULE)
  target_link_libraries(${name} PRIVATE ${name}_objects)
  set_target_properties(
    ${name}
    PROPERTIES PREFIX "" SUFFIX .so LIBRARY_OUTPUT_DIRECTORY ${folder} INSTALL_RPATH "$ORIGIN/../../..")
  # One exported symbol; all symbols found at link time; never unmapped, since autograd graphs hold its code.
  target_link_options(${name} PRIVATE -Wl,--version-script=${POISE_PLUGIN_CMAKE_DIR}/plugin.map
                      -Wl,-z,nodelete)
  # A sanitizer's functions are found when the executable is there.
  if(NOT POISE_SANITIZE)
    target_link_options(${name} PRIVATE -Wl,-z,defs)
  endif()
  set_property(TARGET ${name} APPEND PROPERTY LINK_DEPENDS ${POISE_PLUGIN_CMAKE_DIR}/plugin.map)
  add_custom_command(
    TARGET ${name} POST_BUILD
    COMMAND poise::manifest $<TARGET_FILE:${name}> ${folder}/plugin.toml
    BYPRODUCTS ${folder}/plugin.toml VERBATIM)
  add_dependencies(${name} poise::manifest)
  install(TARGETS ${name} DESTINATION ${destination})
  install(FILES ${folder}/plugin.toml DESTINATION ${destination})
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/README.md)
    configure_file(README.md ${folder}/README.md COPYONLY)
    install(FILES README.md DESTINATION ${destination})
  endif()
  set_property(GLOBAL APPEND PROPERTY POISE_PLUGINS ${name})

  if(POISE_TESTS AND EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${name}_test.cpp)
    poise_add_test(${name}_test ${name}_test.cpp)
    target_link_libraries(${name}_test PRIVATE ${name}_objects)
  endif()
endfunction()

function(poise_add_test name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE poise::sdk poise::testing poise::conformance GTest::gmock
                                        GTest::gtest_main)
  if(POISE_ORACLES)
    target_compile_definitions(${name} PRIVATE POISE_ORACLES="${POISE_ORACLES}")
  endif()
  if(COMMAND poise_precompile)
    poise_precompile(${name})
  endif()
  # One entry an executable: each start of LibTorch costs more than most cases.
  add_test(NAME ${name} COMMAND ${name})
  # Two busy OpenMP threads on a busy machine wait for each other more than they work.
  set_tests_properties(${name} PROPERTIES LABELS ours ENVIRONMENT OMP_NUM_THREADS=1)
endfunction()
