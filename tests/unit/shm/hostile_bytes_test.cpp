// What any worker writes into the segment is untrusted to the master and to lookers: whatever lies
// behind the header, nothing they read may crash them, hang them or reach a terminal.

#include "shm/header.hpp"
#include "shm/inbox_reader.hpp"
#include "shm/sweep.hpp"
#include "shm_test_helper.hpp"

#include <algorithm>
#include <cstring>
#include <random>

namespace topsman::shm {
namespace {

bool is_printable(const std::string& text) {
    return std::none_of(text.begin(), text.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

template <class Record, std::size_t kMany>
void load_all(const TwoCopy<Record> (&records)[kMany]) {
    Record copy{};
    for (const TwoCopy<Record>& record : records) {
        (void)record.load(copy);
    }
}

void look_at_the_board(const Scoreboard& board) {
    MasterRecord master{};
    (void)board.master.load(master);
    load_all(board.pools);
    load_all(board.slots);
    load_all(board.listeners);
    load_all(board.workers);
}

void look_at_everything(const Segment& segment) {
    for (const LastWords& words : segment.last_words()) {
        ASSERT_TRUE(is_printable(words.read()));
    }
    for (const std::uint64_t since :
         {std::uint64_t{0}, segment.events().last_seq() - 5, ~std::uint64_t{0}}) {
        for (const EventLine& line : segment.events().read_since(since)) {
            ASSERT_TRUE(is_printable(line.json));
        }
    }
    for (const NameTable* names :
         {&segment.metric_names(), &segment.mutex_names(), &segment.cell_names(),
          &segment.object_names(), &segment.array_names()}) {
        for (const auto& entry : names->entries()) {
            ASSERT_LT(entry.row, NameTable::kMaxRows);
            ASSERT_TRUE(is_printable(entry.name));
        }
    }
    for (std::uint32_t row = 0; row < kMaxMetrics; ++row) {
        (void)counter_total(segment.metrics(), row);
        (void)gauge_total(segment.metrics(), row);
    }
    look_at_the_board(segment.scoreboard());
    for (const RobustMutex& mutex : segment.mutexes()) {
        (void)mutex.owner();
        (void)mutex.is_poisoned();
    }
    const BlockPool blocks = segment.blocks();
    for (std::size_t i = 0; i < kMaxBlockClasses; ++i) {
        const BlockUsage usage = blocks.usage(i);
        ASSERT_EQ(usage.used + usage.free + usage.illegal, segment.block_classes()[i].count);
    }
    for (std::size_t i = 0; i < segment.histograms().size(); ++i) {
        (void)segment.histogram(i).merged().percentile(99);
    }
    std::array<char, kMaxCellBytes> value{};
    for (const TxCellStorage& cell : segment.cells()) {
        (void)cell.read(&value, sizeof(value));
    }
}

/// By one who asks and who executes, and by one who withdraws what never was.
void use_results(JobQueue& queue) {
    const std::array<std::byte, 16> bytes{};
    const auto is_over = []() noexcept { return false; };
    for (std::uint64_t i = 0; i < 40; ++i) {
        const auto id = queue.ask({1, 1}, bytes);
        if (const auto job = queue.take({1, 1})) {
            (void)queue.ack(job->number, job->word, std::span(bytes).first(i % 17));
        }
        const JobId asked = id.value_or(i % queue.shape().capacity);
        const Answer answer = queue.wait_for({1, 1}, asked, Deadline{}, is_over);
        ASSERT_LE(answer.result.size(), queue.shape().result_size);
        if (i % 3 != 0) {
            queue.withdraw({1, 1}, asked);
        }
    }
}

/// Everything that a worker or the master does to a queue, also to numbers that there are not.
void use_queue(JobQueue queue) {
    queue.join({1, 1});
    const std::array<std::byte, 16> item{};
    for (std::uint64_t i = 0; i < 40; ++i) {
        const auto priority = static_cast<std::uint32_t>(i % 2);
        (void)queue.submit({1, 1}, item, {.now_ns = i, .deadline_ns = i % 3, .priority = priority});
        if (const auto job = queue.take({1, 1})) {
            ASSERT_LE(job->item.size(), queue.shape().item_size);
            ASSERT_LT(job->number, queue.shape().capacity);
            (void)(i % 2 == 0 ? queue.ack(*job) : queue.nack(*job, i % 3) == NackResult::Again);
        }
    }
    const Deadline past = Deadline::clock::now();
    const auto is_over = []() noexcept { return false; };
    (void)queue.submit_until({1, 1}, item, {}, past, is_over);
    (void)queue.take_until({1, 1}, past, is_over);
    for (const JobId id : {JobId{0}, JobId{19}, JobId{20}, ~JobId{0}}) {
        (void)queue.retry(id);
        (void)queue.drop(id);
    }
    use_results(queue);
}

/// Everything that workers do to a channel; the second one receives at most once.
void use_channels(Segment& segment) {
    const std::array<std::byte, 16> bytes{};
    const std::vector<Channel::Bytes> run(40, bytes);
    for (std::size_t i = 0; i < segment.channels().size(); ++i) {
        const Channel channel = segment.channel(i);
        for (std::uint32_t slot = 0; slot < channel.shape().slots; ++slot) {
            ASSERT_LE(channel.unread(slot), channel.shape().capacity);
            InboxReader reader(channel, slot, {1, 1});
            for (std::uint64_t round = 0; round < 30; ++round) {
                ASSERT_LE(channel.send({1, 1}, slot, std::span(run).first(round)),
                          channel.shape().capacity);
                (void)channel.send_any({2, 1}, slot, bytes);
                (void)reader.has_something();
                if (const auto message = reader.receive()) {
                    ASSERT_LE(message->bytes.size(), channel.shape().message_size);
                    ASSERT_GE(message->bytes.data(), segment.address());
                    round % 3 != 0 ? reader.done(message->position)
                                   : reader.put_back(message->position);
                }
            }
            reader.leave();
        }
        channel.set_slots(static_cast<std::uint32_t>(i));
    }
}

void do_what_a_master_does(Segment& segment) {
    for (std::size_t i = 0; i < segment.queues().size(); ++i) {
        ASSERT_NO_FATAL_FAILURE(use_queue(segment.queue(i)));
    }
    ASSERT_NO_FATAL_FAILURE(use_channels(segment));
    (void)grant_lane(segment, 1, 0);
    for (std::uint32_t lane = 0; lane < segment.lanes().size() + 2; ++lane) {
        sweep_lane(segment, lane, lane);
    }
    (void)sweep_dead_lanes(segment, [](std::uint32_t, std::uint64_t) { return false; });
    (void)segment.metric_names().find_or_add("orders", NameKind::Counter, 0, Owner{}, nullptr);
    segment.events().append("{}");
    for (SharedObject& object : segment.objects()) {
        (void)object.parking.wake_all(segment.lanes());
    }
}

/// References that other workers send are as untrusted as what the words say.
void use_blocks(Segment& segment, std::mt19937_64& random) {
    BlockPool pool = segment.blocks();
    const Owner me{1, 1};
    for (int i = 0; i < 200; ++i) {
        const BlockRef ref{static_cast<std::uint32_t>(random() % (pool.blocks() + 3)),
                           static_cast<std::uint32_t>(random())};
        for (std::byte& byte : pool.memory(ref).first(pool.length(ref))) {
            byte = std::byte{1};
        }
        (void)pool.take(ref, me);
        (void)pool.open(ref, static_cast<std::uint32_t>(random()));
        (void)pool.release(ref, me);
        if (const auto mine = pool.allocate(random() % 5'000, me)) {
            pool.memory(*mine).back() = std::byte{1};
            (void)pool.share(*mine, me);
        }
    }
}

/// One of each kind that a reload may add.
void add_late(Segment& segment) {
    ASSERT_TRUE(segment.add_queue(
        {"mails",
         {.capacity = 3, .item_size = 16, .max_attempts = 2, .priorities = 2, .result_size = 16}}));
    ASSERT_TRUE(segment.add_histogram("size"));
    ASSERT_TRUE(segment.add_channel({"late", "web", {2, 3, 16}}));
    ASSERT_TRUE(segment.add_blocks({100, 5}));
}

TEST(HostileBytesTest, NothingBehindTheHeaderCanHurtTheMasterOrALooker) {
    const TestName name;
    auto options = name.options();
    options.queues = {
        {"jobs",
         {.capacity = 20, .item_size = 16, .max_attempts = 3, .priorities = 2, .result_size = 16}}};
    options.blocks = {{{1'000, 20}, {4'096, 10}}};
    options.histograms = {"time"};
    options.channels = {{"news", "web", {3, 20, 16, Delivery::AtLeastOnce}},
                        {"ticks", "web", {2, 3, 16, Delivery::AtMostOnce}}};
    options.reserve = std::size_t{128} * 1'024;
    auto segment = Segment::create(options).value();
    add_late(segment);
    auto* bytes = static_cast<unsigned char*>(const_cast<void*>(segment.address()));
    const std::size_t begin = kHeaderBytes;
    std::mt19937_64 random(3);
    ASSERT_NO_FATAL_FAILURE(do_what_a_master_does(segment));
    use_blocks(segment, random);
    const std::vector<unsigned char> used(bytes + begin, bytes + segment.size());
    for (int round = 0; round < 80; ++round) {
        // All random, or mostly zeros, ones or what use has left, with some bytes changed: other
        // paths are taken.
        if (round % 4 == 0) {
            for (std::size_t i = begin; i + 8 <= segment.size(); i += 8) {
                const std::uint64_t word = random();
                std::memcpy(bytes + i, &word, sizeof(word));
            }
        } else {
            std::memset(bytes + begin, round % 4 == 1 ? 0x00 : 0xff, segment.size() - begin);
            if (round % 4 == 3) {
                std::copy(used.begin(), used.end(), bytes + begin);
            }
            for (int i = 0; i < 20'000; ++i) {
                bytes[begin + random() % (segment.size() - begin)] =
                    static_cast<unsigned char>(random());
            }
        }
        ASSERT_NO_FATAL_FAILURE(look_at_everything(segment)) << "round " << round;
        ASSERT_NO_FATAL_FAILURE(do_what_a_master_does(segment)) << "round " << round;
        use_blocks(segment, random);
        ASSERT_NO_FATAL_FAILURE(look_at_everything(segment)) << "round " << round;
    }
}

TEST(HostileBytesTest, TheHeaderMayChangeUnderTheMasterWithoutEffect) {
    const TestName name;
    auto options = name.options();
    options.queues = {
        {"jobs",
         {.capacity = 20, .item_size = 16, .max_attempts = 3, .priorities = 2, .result_size = 16}}};
    options.channels = {{"news", "web", {3, 20, 16, Delivery::AtLeastOnce}}};
    auto segment = Segment::create(options).value();
    std::memset(const_cast<void*>(segment.address()), 0xff, kHeaderBytes);
    EXPECT_EQ(segment.lanes().size(), 9U);
    look_at_everything(segment);
    do_what_a_master_does(segment);
}

}  // namespace
}  // namespace topsman::shm
