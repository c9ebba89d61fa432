# Included by CMakeLists.txt when KON_STATIC is on: one static-pie executable that runs on an empty root file system.
#
# Defines KON_LIBRARIES, headers and static libraries of everything that konductor links, in place of the shared ones,
# and sets the options of compiler and linker. Four of the libraries come from tools/static-deps/build, which
# tools/build-static runs first.

find_package(PkgConfig REQUIRED)
include(CheckCCompilerFlag)

if(NOT KON_STATIC_PREFIX)
	execute_process(
		COMMAND ${CMAKE_CURRENT_LIST_DIR}/../tools/static-deps/build --path
		OUTPUT_VARIABLE KON_STATIC_PREFIX OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE kon_static_missing)
	if(kon_static_missing)
		message(FATAL_ERROR "The static libraries are not built; run tools/build-static")
	endif()
endif()

pkg_check_modules(KON_STATIC_SYSTEM REQUIRED luajit sqlite3 libnghttp2 libcares)

# In the order in which the linker must see them: who needs before who is needed.
set(kon_static_libraries
	${KON_STATIC_PREFIX}/lib/libcurl.a
	${KON_STATIC_PREFIX}/lib/libmicrohttpd.a
	${KON_STATIC_PREFIX}/lib/libssl.a
	${KON_STATIC_PREFIX}/lib/libcrypto.a
	${KON_STATIC_PREFIX}/lib/libcjson.a)
foreach(name luajit-5.1 ev sqlite3 yaml nghttp2 cares)
	find_library(kon_static_${name} lib${name}.a REQUIRED)
	list(APPEND kon_static_libraries ${kon_static_${name}})
endforeach()

add_library(konductor-deps INTERFACE)
target_include_directories(konductor-deps SYSTEM INTERFACE ${KON_STATIC_PREFIX}/include ${KON_STATIC_SYSTEM_INCLUDE_DIRS})
target_compile_definitions(konductor-deps INTERFACE CURL_STATICLIB)
target_link_libraries(konductor-deps INTERFACE ${kon_static_libraries} m pthread dl)
set(KON_LIBRARIES konductor-deps)

# Line numbers for the separate file of symbols; assertions stay on.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")

# What the hardening list of the Open Source Security Foundation adds to the flags of every build, as far as this
# compiler and machine know it.
set(kon_hardening
	-fPIE -ffunction-sections -fdata-sections -ftrivial-auto-var-init=zero
	-fstrict-flex-arrays=3 -mbranch-protection=standard)
foreach(flag ${kon_hardening})
	string(MAKE_C_IDENTIFIER "KON_HAS${flag}" known)
	check_c_compiler_flag(${flag} ${known})
	if(${known})
		add_compile_options(${flag})
	endif()
endforeach()
add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)

# Packed relocations save half a megabyte.
add_link_options(-static-pie LINKER:--gc-sections)
include(CheckLinkerFlag)
check_linker_flag(C LINKER:-z,pack-relative-relocs KON_HAS_RELR)
if(KON_HAS_RELR)
	add_link_options(LINKER:-z,pack-relative-relocs)
endif()

# What only the static program has: see the heads of these files. The entry is written for one processor.
function(kon_static_program target)
	target_sources(${target} PRIVATE core/static/lua_memory.c)
	# The map says which archives are in the program: tools/sbom.lua reads it.
	target_link_options(${target} PRIVATE LINKER:--wrap=mmap64 LINKER:-Map=${CMAKE_BINARY_DIR}/${target}.map)
	if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
		target_sources(${target} PRIVATE core/static/prefault.c)
		target_link_options(${target} PRIVATE LINKER:--entry=kon_entry)
	endif()
endfunction()
