// The channel: messages of 64 bytes one way, beside bare lines of cache and a pipe(2); there and
// back, awake and asleep, beside bare lines and a bare futex; and a block of 1 MiB that goes with a
// message. Prints JSON: by name, nanoseconds for a message, a way there and back, or a block.
//
// `channel_bench COUNT ROUNDS [NAME...]`: only these.

#include "bare_lines.hpp"
#include "shm/base/check.hpp"
#include "shm/futex.hpp"
#include "together.hpp"
#include "topsman/worker.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <span>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

namespace topsman {
namespace {

using Bytes = std::array<std::byte, 64>;

constexpr std::size_t kRow = 32;  // messages sent, and asked for, together

Channel channel() {
    return Worker::attach().value().channel("bench").value();
}

/// Who does not sleep looks again and again.
void receive(Channel& from, Bytes& bytes, bool may_sleep = true) {
    auto message = may_sleep ? from.receive().value() : from.try_receive().value();
    while (!message) {
        message = from.try_receive().value();
    }
    std::memcpy(bytes.data(), message->data().data(), bytes.size());
    (void)message->ack().value();
}

int receive_all(std::uint64_t count) {
    stay_on_processor(0);
    Channel from = channel();
    Bytes bytes{};
    for (std::uint64_t i = 0; i < count; ++i) {
        receive(from, bytes);
    }
    return 0;
}

double in_one_process(test::Herd& herd, std::uint64_t count) {
    return measure(herd, count, {[=] {
                       Channel both = channel();
                       Bytes bytes{};
                       for (std::uint64_t i = 0; i < count; ++i) {
                           (void)both.send(To::slot(0), bytes).value();
                           receive(both, bytes);
                       }
                       return 0;
                   }});
}

double one_way(test::Herd& herd, std::uint64_t count) {
    return measure(herd, count,
                   {[=] { return receive_all(count); },
                    [=] {
                        stay_on_processor(1);
                        Channel to = channel();
                        const Bytes bytes{};
                        for (std::uint64_t i = 0; i < count; ++i) {
                            (void)to.send(To::slot(0), bytes).value();
                        }
                        return 0;
                    }});
}

int receive_rows(std::uint64_t count) {
    stay_on_processor(0);
    Channel from = channel();
    Bytes bytes{};
    for (std::uint64_t received = 0; received < count;) {
        auto row = from.receive_all(kRow).value();
        for (const std::string_view message : *row) {
            std::memcpy(bytes.data(), message.data(), bytes.size());
        }
        received += row->size();
        (void)row->ack().value();
    }
    return 0;
}

double one_way_together(test::Herd& herd, std::uint64_t count) {
    return measure(herd, count,
                   {[=] { return receive_rows(count); },
                    [=] {
                        stay_on_processor(1);
                        Channel to = channel();
                        const std::string text(sizeof(Bytes), 'x');
                        const std::vector<std::string_view> many(kRow, text);
                        for (std::uint64_t sent = 0; sent < count;) {
                            sent += to.send_all(0, std::span(many).first(std::min<std::uint64_t>(
                                                       many.size(), count - sent)))
                                        .value();
                        }
                        return 0;
                    }});
}

double one_way_bare(test::Herd& herd, std::uint64_t count, std::uint64_t row) {
    const BareLines lines;
    return measure(herd, count,
                   {[&] {
                        stay_on_processor(0);
                        lines.read(count, row);
                        return 0;
                    },
                    [&] {
                        stay_on_processor(1);
                        lines.write(count, row);
                        return 0;
                    }});
}

double there_and_back_bare(test::Herd& herd, std::uint64_t count,
                           void (BareLines::*game)(bool, std::uint64_t) const) {
    const BareLines lines;
    const auto play = [&](bool begins) {
        stay_on_processor(begins ? 0 : 1);
        (lines.*game)(begins, count);
        return 0;
    };
    return measure(herd, count, {[&] { return play(true); }, [&] { return play(false); }});
}

double through_a_pipe(test::Herd& herd, std::uint64_t count) {
    int ends[2];
    CHECK(::pipe(ends) == 0);
    const double time = measure(
        herd, count,
        {[=] {
             Bytes bytes{};
             for (std::uint64_t i = 0; i < count; ++i) {
                 CHECK(::read(ends[0], bytes.data(), bytes.size()) == ssize_t{sizeof(bytes)});
             }
             return 0;
         },
         [=] {
             const Bytes bytes{};
             for (std::uint64_t i = 0; i < count; ++i) {
                 CHECK(::write(ends[1], bytes.data(), bytes.size()) == ssize_t{sizeof(bytes)});
             }
             return 0;
         }});
    (void)::close(ends[0]);
    (void)::close(ends[1]);
    return time;
}

double there_and_back(test::Herd& herd, std::uint64_t count, bool is_asleep) {
    const auto play = [=](bool begins) {
        stay_on_processor(begins || is_asleep ? 0 : 1);
        Channel both = channel();
        const To other = To::slot(begins ? 1 : 0);
        Bytes bytes{};
        for (std::uint64_t i = 0; i < count; ++i) {
            if (begins) {
                (void)both.send(other, bytes).value();
            }
            receive(both, bytes, is_asleep);
            if (!begins) {
                (void)both.send(other, bytes).value();
            }
        }
        return 0;
    };
    return measure(herd, count, {[=] { return play(true); }, [=] { return play(false); }});
}

/// Two words; who has the turn adds to the other's, wakes it, and sleeps on its own.
double there_and_back_by_futex(test::Herd& herd, std::uint64_t count) {
    void* memory =
        ::mmap(nullptr, 4'096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    auto* words = static_cast<std::atomic<std::uint32_t>*>(memory);
    const auto play = [=](std::size_t me) {
        stay_on_processor(0);
        for (std::uint32_t i = 0; i < count; ++i) {
            if (me == 0) {
                words[32].fetch_add(1);
                shm::futex_wake_all(words[32]);
            }
            while (words[me * 32].load() == i) {
                (void)shm::futex_wait(words[me * 32], i, shm::kNoDeadline);
            }
            if (me == 1) {
                words[0].fetch_add(1);
                shm::futex_wake_all(words[0]);
            }
        }
        return 0;
    };
    const double time = measure(herd, count, {[=] { return play(0); }, [=] { return play(1); }});
    (void)::munmap(memory, 4'096);
    return time;
}

double block_handed_over(test::Herd& herd, std::uint64_t count) {
    return measure(herd, count, {[=] {
                       Worker worker = Worker::attach().value();
                       BlockPool blocks = worker.blocks().value();
                       Channel both = channel();
                       Block block = blocks.allocate(std::size_t{1} << 20U).value();
                       for (std::uint64_t i = 0; i < count; ++i) {
                           const BlockTicket sent = std::move(block).pass();
                           (void)both.send(To::slot(0), std::as_bytes(std::span(&sent, 1))).value();
                           auto message = both.receive().value();
                           BlockTicket ticket;
                           std::memcpy(&ticket, message->data().data(), sizeof(ticket));
                           block = blocks.take(ticket).value();
                           (void)message->ack().value();
                       }
                       return 0;
                   }});
}

}  // namespace
}  // namespace topsman

int main(int argc, char** argv) {
    using namespace topsman;
    const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
    const std::uint64_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 5;
    const std::uint64_t few = count / 20;
    test::Herd herd({}, {{{std::uint64_t{1} << 20U, 2}}},
                    {{"bench", "web", {2, 1'024, sizeof(Bytes)}}});
    herd.segment().channel(0).set_slots(2);
    std::vector<std::pair<std::string_view, std::function<double()>>> measures = {
        {"in_one_process", [&] { return in_one_process(herd, count); }},
        {"one_way", [&] { return one_way(herd, count); }},
        {"one_way_bare", [&] { return one_way_bare(herd, count, 1); }},
        {"one_way_together", [&] { return one_way_together(herd, count); }},
        {"one_way_together_bare", [&] { return one_way_bare(herd, count, kRow); }},
        {"pipe", [&] { return through_a_pipe(herd, few); }},
        {"there_and_back", [&] { return there_and_back(herd, count / 4, false); }},
        {"there_and_back_bare",
         [&] { return there_and_back_bare(herd, count / 4, &BareLines::exchange); }},
        {"there_and_back_bare_word",
         [&] { return there_and_back_bare(herd, count / 4, &BareLines::play); }},
        {"there_and_back_asleep", [&] { return there_and_back(herd, few, true); }},
        {"futex_there_and_back", [&] { return there_and_back_by_futex(herd, few); }},
        {"block", [&] { return block_handed_over(herd, count); }},
    };
    if (argc > 3) {
        const std::span<char*> wanted(argv + 3, argv + argc);
        std::erase_if(measures, [wanted](const auto& measure) {
            return std::find(wanted.begin(), wanted.end(), measure.first) == wanted.end();
        });
    }
    std::vector<std::vector<double>> times(measures.size());
    // In turns: what disturbs one disturbs the others too.
    for (std::uint64_t round = 0; round < rounds; ++round) {
        for (std::size_t i = 0; i < measures.size(); ++i) {
            times[i].push_back(measures[i].second());
        }
    }
    for (std::size_t i = 0; i < measures.size(); ++i) {
        std::printf("%s\"%s\": %.2f", i == 0 ? "{" : ", ", measures[i].first.data(),
                    median(times[i]));
    }
    std::printf("}\n");
    return 0;
}
