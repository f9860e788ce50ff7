/* Functions that may not be used in hotadd, turned into compile errors.
 * Force-included into every translation unit by meson.build, after the system
 * headers below, so that their own declarations stay legal. */
#ifndef HOTADD_BANNED_H
#define HOTADD_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A header that uses a banned name for something of its own (guestfs.h has a structure
 * member called ctime) must come before the ban too: a target names it here. */
#ifdef HOTADD_INCLUDE_FIRST
#include HOTADD_INCLUDE_FIRST
#endif

/* A macro where the compiler is clang and _FORTIFY_SOURCE is on. */
#undef sprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strncat gets
#pragma GCC poison atoi atol atoll atof strtok tmpnam tempnam mktemp
#pragma GCC poison localtime gmtime ctime asctime system popen

#endif
