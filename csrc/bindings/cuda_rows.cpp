// What CUDA rows would launch, and the images that it lies in: Python launches it, or runs it where there is no GPU.
#include <array>
#include "cuda_image.h"
#include "launches.h"
#include "view.h"

namespace accelnn {

namespace {

constexpr int max_operands = 32;

// (address, shape, strides, dtype), or None.
TensorView window(py::handle h) {
  if (h.is_none()) return absent_view();
  const auto w = py::reinterpret_borrow<py::tuple>(h);
  TensorView t;
  shape_from(w[1], &t);
  const auto stride = py::reinterpret_borrow<py::tuple>(w[2]);
  if (int(stride.size()) != t.rank) refuse(Code::shape, "device_launches: as many strides as sizes expected");
  for (int i = 0; i < t.rank; i++) t.stride[i] = stride[size_t(i)].cast<int64_t>();
  t.data = reinterpret_cast<void*>(w[0].cast<uintptr_t>());
  t.dtype = DType(w[3].cast<int>());
  return t;
}

int windows(const py::tuple& given, int most, TensorView* to) {
  if (int(given.size()) > most || most > max_operands) refuse(Code::shape, "device_launches: too many operands");
  for (int i = 0; i < most; i++) to[i] = i < int(given.size()) ? window(given[size_t(i)]) : absent_view();
  return most;
}

py::object device_launches(int number, const std::string& name, const py::tuple& inputs, const Attrs& attrs, const py::tuple& outputs, int arch, int units,
                           int shared, uintptr_t work) {
  if (number < 0 || number >= n_all_tables) refuse(Code::attribute, "no op with number " + std::to_string(number));
  const Op& op = *all_tables[number]->op;
  const DeviceRow* row = all_device_rows[number];
  while (row->name && name != row->name) row++;
  if (!row->name || !row->launches) refuse(Code::kernel, std::string(op.name) + ": no CUDA row " + name);
  std::array<TensorView, max_operands> in, out;
  const int n_in = windows(inputs, op.max_in, in.data()), n_out = windows(outputs, op.max_out, out.data());
  const Call call = {in.data(), n_in, out.data(), n_out, attrs.slots.data()};
  Launches launches;
  launches.work = reinterpret_cast<char*>(work);
  if (const char* why = row->launches(call, {arch, units, shared}, &launches)) return py::str(why);
  py::list all;
  for (int i = 0; i < launches.n; i++) {
    const Launch& l = launches.all[i];
    const py::tuple blocks = py::make_tuple(l.grid.x, l.grid.y, l.grid.z);
    all.append(py::make_tuple(l.image, l.entry, blocks, l.threads, l.shared, py::bytes(l.arguments, l.bytes), l.pointers));
  }
  return py::make_tuple(launches.scratch, all);
}

py::bytes cuda_image(const std::string& name) {
  for (const CudaImage* i = accelnn_cuda_images; i->name; i++)
    if (name == i->name) return py::bytes(reinterpret_cast<const char*>(i->begin), size_t(i->end - i->begin));
  refuse(Code::kernel, name + ": not compiled into this library (see: accelnn doctor)");
}

}  // namespace

void bind_cuda_rows(py::module_& m) {
  py::dict sizes;
  for (const CudaImage* i = accelnn_cuda_images; i->name; i++) sizes[i->name] = i->end - i->begin;
  m.attr("cuda_images") = sizes;
  m.def("cuda_image", &cuda_image, py::arg("name"), py::pos_only());
  m.def("device_launches", &device_launches, py::arg("op"), py::arg("row"), py::arg("inputs"), py::arg("attrs"), py::arg("outputs"), py::arg("arch"),
        py::arg("units"), py::arg("shared"), py::arg("work") = 0, py::pos_only());
}

}  // namespace accelnn
