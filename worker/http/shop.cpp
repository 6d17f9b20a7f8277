#include "worker/http/shop.hpp"

#include <chrono>

namespace topsman::http {

namespace {

// A holder that is stopped, not dead, keeps the lock: the other requests of this worker shall not
// wait for it without end.
constexpr std::chrono::seconds kPatience{1};

}  // namespace

Result<Shop> Shop::open(Worker worker, std::int64_t stock) {
    // What the mutex guards is a TxCell, which is whole at every instruction.
    auto mutex = worker.mutex("stock", [] { return true; });
    if (!mutex) {
        return mutex.error();
    }
    auto cell = worker.cell<std::int64_t>("stock", stock);
    if (!cell) {
        return cell.error();
    }
    auto orders = worker.counter("orders");
    if (!orders) {
        return orders.error();
    }
    return Shop(std::move(*mutex), *cell, *orders);
}

Shop::Receipt Shop::order() {
    const auto hold = mutex_.acquire_until(std::chrono::steady_clock::now() + kPatience);
    if (!hold) {
        return {Order::Unavailable, 0};
    }
    const auto left = stock_.update([](std::int64_t& stock) { return stock > 0 ? --stock : -1; });
    if (!left) {
        return {Order::Unavailable, 0};
    }
    if (*left < 0) {
        return {Order::SoldOut, 0};
    }
    orders_.add();
    return {Order::Taken, *left};
}

}  // namespace topsman::http
