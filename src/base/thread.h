#pragma once

#include <functional>
#include <string_view>
#include <thread>

namespace switchyard {

/// Starts a thread that hears no signals: they are the main thread's business. Where there may be no more threads it
/// fails (environment), naming the limits; `purpose`: "renewing the lease".
std::thread start_thread(std::string_view purpose, std::function<void()> body);

}  // namespace switchyard
