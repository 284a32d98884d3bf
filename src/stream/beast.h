// Boost.Beast for the few files that touch it; see asio.h.
#pragma once

#include "stream/asio.h"

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
