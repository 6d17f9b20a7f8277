#include "worker/http/answer.hpp"

namespace topsman::http {

namespace {

std::string_view reason_for(unsigned status) {
    switch (status) {
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 413:
            return "Content Too Large";
        case 431:
            return "Request Header Fields Too Large";
        case 503:
            return "Service Unavailable";
        default:
            return "Bad Request";
    }
}

}  // namespace

void write_answer(std::string& to, const Answer& answer, Manner manner) {
    to += "HTTP/1.1 ";
    to += std::to_string(answer.status);
    to += ' ';
    to += reason_for(answer.status);
    to += "\r\nContent-Type: ";
    to += answer.type;
    to += "\r\nContent-Length: ";
    to += std::to_string(answer.body.size());
    to += "\r\n";
    to += answer.more_fields;
    if (!manner.keep_alive) {
        to += "Connection: close\r\n";
    }
    to += "\r\n";
    if (!manner.without_body) {
        to += answer.body;
    }
}

}  // namespace topsman::http
