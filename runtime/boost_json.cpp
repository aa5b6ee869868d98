// Boost.JSON compiled into libkiln, so that libkiln depends on no shared Boost of the host process.
#include <boost/json/src.hpp>
