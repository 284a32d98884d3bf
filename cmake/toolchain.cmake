# Compiler, linker and warning flags that every target of crisp shares.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -fno-plt)
add_compile_definitions(_FILE_OFFSET_BITS=64 CRISP_VERSION="${PROJECT_VERSION}")
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
  add_compile_options(-Wthread-safety -Werror=thread-safety "SHELL:-Xclang -fno-pch-timestamp")
else()
  # g++ 12 warns falsely inside std::string and protobuf at -O2.
  add_compile_options(-Wno-restrict -Wno-stringop-overread)
  add_compile_options($<$<CONFIG:Debug>:-fpch-preprocess>)
endif()

# With CMAKE_UNITY_BUILD (all presets but debug) so many files of a folder are compiled as one, which halves
# the build: names of a folder's anonymous namespaces must differ.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)

set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG -fstack-protector-strong -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections")
add_link_options($<$<CONFIG:Release>:-Wl,--gc-sections> $<$<CONFIG:Release>:-Wl,-z,relro,-z,now>)

find_program(MOLD mold)
if(MOLD AND NOT CMAKE_BUILD_TYPE STREQUAL Release)
  add_link_options(-fuse-ld=mold)
endif()

if(CRISP_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # so that libFuzzer sees what the libraries do
endif()
if(CRISP_SANITIZE)
  add_compile_options(-fsanitize=${CRISP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${CRISP_SANITIZE})
endif()
