// Boost.Interprocess, for Rust. An exception ends the program, as nothing here may fail.
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <boost/interprocess/sync/interprocess_sharable_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <cstddef>
#include <new>

using boost::interprocess::interprocess_condition;
using boost::interprocess::interprocess_mutex;
using boost::interprocess::interprocess_semaphore;
using boost::interprocess::interprocess_sharable_mutex;

extern "C" {

std::size_t boost_mutex_size() noexcept { return sizeof(interprocess_mutex); }

void boost_mutex_make(void *at) noexcept { new (at) interprocess_mutex; }

void boost_mutex_lock(void *at) noexcept { static_cast<interprocess_mutex *>(at)->lock(); }

void boost_mutex_unlock(void *at) noexcept { static_cast<interprocess_mutex *>(at)->unlock(); }

std::size_t boost_sharable_size() noexcept { return sizeof(interprocess_sharable_mutex); }

void boost_sharable_make(void *at) noexcept { new (at) interprocess_sharable_mutex; }

void boost_sharable_lock(void *at) noexcept { static_cast<interprocess_sharable_mutex *>(at)->lock(); }

void boost_sharable_unlock(void *at) noexcept { static_cast<interprocess_sharable_mutex *>(at)->unlock(); }

void boost_sharable_lock_shared(void *at) noexcept { static_cast<interprocess_sharable_mutex *>(at)->lock_sharable(); }

void boost_sharable_unlock_shared(void *at) noexcept { static_cast<interprocess_sharable_mutex *>(at)->unlock_sharable(); }

std::size_t boost_semaphore_size() noexcept { return sizeof(interprocess_semaphore); }

void boost_semaphore_make(void *at) noexcept { new (at) interprocess_semaphore(0); }

void boost_semaphore_post(void *at) noexcept { static_cast<interprocess_semaphore *>(at)->post(); }

void boost_semaphore_wait(void *at) noexcept { static_cast<interprocess_semaphore *>(at)->wait(); }

std::size_t boost_condition_size() noexcept { return sizeof(interprocess_condition); }

void boost_condition_make(void *at) noexcept { new (at) interprocess_condition; }

void boost_condition_notify(void *at) noexcept { static_cast<interprocess_condition *>(at)->notify_one(); }

void boost_condition_wait(void *at, void *mutex) noexcept {
    boost::interprocess::scoped_lock<interprocess_mutex> lock(*static_cast<interprocess_mutex *>(mutex),
                                                              boost::interprocess::accept_ownership);
    static_cast<interprocess_condition *>(at)->wait(lock);
    lock.release();
}
}
