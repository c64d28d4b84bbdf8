#include "generic.h"
#include "table.h"

namespace accelnn {

Status quantize_linear_f32_base(const Call& c) { return quantize_linear(c, quantize::quantize_run); }
Status dynamic_quantize_f32_base(const Call& c) { return dynamic_quantize(c, quantize::extremes_of, quantize::quantize_run); }
Status byte_table_u8_base(const Call& c) { return quantize::byte_table(c); }
Status dequantize_linear_u8_base(const Call& c) { return quantize::dequantize_linear<uint8_t>(c); }
Status dequantize_linear_i8_base(const Call& c) { return quantize::dequantize_linear<int8_t>(c); }
Status dequantize_linear_i32_base(const Call& c) { return quantize::dequantize_linear<int32_t>(c); }

}  // namespace accelnn
