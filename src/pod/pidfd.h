// <sys/pidfd.h>, which in the glibc of Debian 12 forgets to say that its functions are C's.
#pragma once

extern "C" {
#include <sys/pidfd.h>
}
