// Boost.Interprocess, for Rust. An exception ends the program, as nothing here may fail.
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <cstddef>
#include <new>

using boost::interprocess::interprocess_mutex;

extern "C" {

std::size_t boost_mutex_size() noexcept { return sizeof(interprocess_mutex); }

void boost_mutex_make(void *at) noexcept { new (at) interprocess_mutex; }

void boost_mutex_lock(void *at) noexcept { static_cast<interprocess_mutex *>(at)->lock(); }

void boost_mutex_unlock(void *at) noexcept { static_cast<interprocess_mutex *>(at)->unlock(); }
}
