# The codec for other native modules; feetech.h documents every name.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

cdef extern from "feetech.h" nogil:
    enum:
        SP_FEETECH_BROADCAST
        SP_FEETECH_MAX_FRAME
        SP_FEETECH_MAX_PARAMS

    ctypedef struct sp_feetech_packet:
        const uint8_t *params
        size_t consumed
        size_t garbage
        uint32_t bad_checksums
        uint8_t id
        uint8_t error
        uint8_t count

    uint16_t sp_feetech_encode(int32_t value, int sign_bit) noexcept
    int32_t sp_feetech_decode(uint16_t word, int sign_bit) noexcept
    size_t sp_feetech_ping(uint8_t *buffer, size_t capacity, uint8_t id) noexcept
    size_t sp_feetech_action(uint8_t *buffer, size_t capacity, uint8_t id) noexcept
    size_t sp_feetech_read(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t address,
                           uint8_t length) noexcept
    size_t sp_feetech_write(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t address,
                            const uint8_t *data, uint8_t length) noexcept
    size_t sp_feetech_reg_write(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t address,
                                const uint8_t *data, uint8_t length) noexcept
    size_t sp_feetech_sync_read(uint8_t *buffer, size_t capacity, const uint8_t *ids, size_t n,
                                uint8_t address, uint8_t length) noexcept
    size_t sp_feetech_sync_write(uint8_t *buffer, size_t capacity, const uint8_t *ids, size_t n,
                                 uint8_t address, uint8_t length, const uint8_t *data) noexcept
    size_t sp_feetech_status(uint8_t *buffer, size_t capacity, uint8_t id, uint8_t error,
                             const uint8_t *params, size_t count) noexcept
    size_t sp_feetech_replies_size(size_t n, uint8_t length) noexcept
    int sp_feetech_scan(const uint8_t *bytes, size_t count, size_t max_params, int last,
                        sp_feetech_packet *packet) noexcept
