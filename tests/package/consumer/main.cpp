#include <boost/asio/io_context.hpp>

#include <cstdio>
#include <mutex>
#include <topsman/acceptor.hpp>
#include <topsman/counter.hpp>
#include <topsman/gauge.hpp>
#include <topsman/mutex.hpp>
#include <topsman/tx_cell.hpp>
#include <topsman/worker.hpp>

// Everything once, without a supervisor.
int main() {
    topsman::Worker worker = topsman::Worker::attach().value();
    worker.ready().value();
    worker.counter("orders").value().add(2);
    worker.gauge("open").value().set(1);
    auto mutex = worker.mutex("stock", [] { return true; }).value();
    auto stock = worker.cell<int>("stock", 3).value();
    int left = 0;
    {
        const std::scoped_lock hold(mutex);
        left = stock.update([](int& n) { return --n; }).value();
    }
    boost::asio::io_context loop;
    const auto acceptor = topsman::Acceptor::open(loop, worker, "http");
    std::printf("%s: %llu orders, %d left; %s\n", worker.name().c_str(),
                static_cast<unsigned long long>(worker.counter_totals().at(0).value), left,
                acceptor.error().message.c_str());
    return left == 2 && !acceptor ? 0 : 1;
}
