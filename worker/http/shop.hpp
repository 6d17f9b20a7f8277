#pragma once

#include "topsman/worker.hpp"

#include <cstdint>

namespace topsman::http {

/// The stock that all workers sell from. A worker killed while it takes an order has sold one or
/// has not; never does the cluster sell what it does not have.
class Shop {
  public:
    [[nodiscard]] static Result<Shop> open(Worker worker, std::int64_t stock);

    enum class Order { Taken, SoldOut, Unavailable };

    struct Receipt {
        Order order;
        std::int64_t left;
    };

    [[nodiscard]] Receipt order();

  private:
    Shop(Mutex mutex, TxCell<std::int64_t> stock, Counter orders) noexcept
        : mutex_(std::move(mutex)), stock_(stock), orders_(orders) {}

    Mutex mutex_;
    TxCell<std::int64_t> stock_;
    Counter orders_;
};

}  // namespace topsman::http
