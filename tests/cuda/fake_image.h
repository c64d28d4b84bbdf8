// What the fake driver reads in a cubin (sections .text.<kernel>, .nv.info.<kernel>, .nv.shared.<kernel>) or in PTX: kernels and their parameters.
#pragma once
#include <elf.h>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

struct KernelParameter { unsigned offset = 0, bytes = 0; };

struct Kernel {
  std::string name;
  std::vector<KernelParameter> parameters;
  int shared = 0, threads = 1024;
};

struct Image { std::map<std::string, Kernel> kernels; };

namespace image_codes { constexpr int invalid_image = 200, no_binary = 209, invalid_ptx = 218; }

// EIATTR records: format, attribute, then two bytes of value or of length. 0x17 is KPARAM_INFO, 0x05 MAX_THREADS.
inline void read_info(const unsigned char* p, const unsigned char* end, Kernel* k) {
  const auto u16 = [](const unsigned char* q) { return unsigned(q[0] | q[1] << 8); };
  const auto u32 = [&](const unsigned char* q) { return u16(q) | u16(q + 2) << 16; };
  while (p + 4 <= end) {
    const unsigned bytes = p[0] == 4 ? u16(p + 2) : 0;
    if (p[0] == 4 && p[1] == 0x17) {
      const unsigned index = u16(p + 8);
      if (k->parameters.size() <= index) k->parameters.resize(index + 1);
      k->parameters[index] = {u16(p + 10), u32(p + 12) >> 18};
    }
    if (p[0] == 4 && p[1] == 0x05) k->threads = int(u32(p + 4) * u32(p + 8) * u32(p + 12));
    p += 4 + bytes;
  }
}

inline int read_cubin(const char* image, int arch, Image* out) {
  const auto* e = reinterpret_cast<const Elf64_Ehdr*>(image);
  if (e->e_machine != 190) return image_codes::invalid_image;
  // The architecture: from ABI 8 on (CUDA 13) in the second byte of the flags, before in the first.
  const int built_for = int(e->e_ident[EI_ABIVERSION] >= 8 ? e->e_flags >> 8 & 0xFF : e->e_flags & 0xFF);
  if (built_for / 10 != arch / 10 || built_for > arch) return image_codes::no_binary;
  const auto* s = reinterpret_cast<const Elf64_Shdr*>(image + e->e_shoff);
  const char* const names = image + s[e->e_shstrndx].sh_offset;
  const auto after = [&](int i, const char* prefix) -> std::string {
    const std::string name = names + s[i].sh_name;
    return name.rfind(prefix, 0) == 0 ? name.substr(strlen(prefix)) : "";
  };
  for (int i = 0; i < e->e_shnum; i++)
    if (const std::string name = after(i, ".text."); !name.empty()) out->kernels[name].name = name;
  for (int i = 0; i < e->e_shnum; i++) {
    const auto* const begin = reinterpret_cast<const unsigned char*>(image) + s[i].sh_offset;
    if (const auto k = out->kernels.find(after(i, ".nv.info.")); k != out->kernels.end()) read_info(begin, begin + s[i].sh_size, &k->second);
    // The driver keeps 1 KB of every block's shared memory from sm_90 on; the section counts it.
    if (const auto k = out->kernels.find(after(i, ".nv.shared.")); k != out->kernels.end())
      k->second.shared = int(s[i].sh_size) - (built_for >= 90 && s[i].sh_size >= 1024 ? 1024 : 0);
  }
  return 0;
}

// ".entry name(" and the ".param" declarations up to ")": .u64 x, .f32 x, .align 64 .b8 x[128].
inline int read_ptx(const std::string& text, int arch, Image* out, std::string* complaint) {
  const size_t target = text.find(".target sm_");
  if (target == std::string::npos) {
    *complaint = "ptxas fatal: no .target in the fake's reading";
    return image_codes::invalid_ptx;
  }
  if (atoi(text.c_str() + target + 11) > arch) return image_codes::no_binary;
  for (size_t at = text.find(".entry "); at != std::string::npos; at = text.find(".entry ", at + 1)) {
    const size_t open = text.find_first_of("(\n{", at + 7), close = text.find(')', open);
    Kernel k;
    k.name = text.substr(at + 7, open - at - 7);
    unsigned offset = 0;
    for (size_t p = text.find(".param", open); p < close; p = text.find(".param", p + 1)) {
      const std::string declared = text.substr(p, text.find_first_of(",)", p) - p);
      const size_t array = declared.find('['), type = declared.find_first_of("0123456789", declared.find_first_of("ufsb", 7));
      const unsigned bytes = array != std::string::npos ? unsigned(atoi(declared.c_str() + array + 1)) : unsigned(atoi(declared.c_str() + type)) / 8;
      const unsigned align = bytes > 8 ? 64 : bytes;
      offset = (offset + align - 1) / align * align;
      k.parameters.push_back({offset, bytes});
      offset += bytes;
    }
    out->kernels[k.name] = k;
  }
  return 0;
}

// Behind 16 bytes one entry after the other: kind (2: a cubin), the size of its head, of its content, flags. The fake unpacks nothing.
inline int read_fat_binary(const char* image, int arch, Image* out) {
  uint64_t bytes;
  memcpy(&bytes, image + 8, sizeof bytes);
  for (const char *at = image + 16, *end = at + bytes; at < end;) {
    uint16_t kind;
    uint32_t head;
    uint64_t size;
    memcpy(&kind, at, sizeof kind);
    memcpy(&head, at + 4, sizeof head);
    memcpy(&size, at + 8, sizeof size);
    if (kind == 2 && !memcmp(at + head, "\177ELF", 4) && read_cubin(at + head, arch, out) == 0) return 0;
    at += head + size;
  }
  return image_codes::no_binary;
}

// An image ends where its last header does, or its text.
inline size_t image_bytes(const char* image) {
  uint32_t magic;
  memcpy(&magic, image, sizeof magic);
  if (magic == 0xba55ed50) {
    uint64_t bytes;
    memcpy(&bytes, image + 8, sizeof bytes);
    return size_t(16 + bytes);
  }
  if (memcmp(image, "\177ELF", 4)) return strlen(image);
  const auto* e = reinterpret_cast<const Elf64_Ehdr*>(image);
  const size_t programs = e->e_phoff + size_t(e->e_phnum) * e->e_phentsize;
  size_t end = std::max(e->e_shoff + size_t(e->e_shnum) * e->e_shentsize, programs);
  const auto* s = reinterpret_cast<const Elf64_Shdr*>(image + e->e_shoff);
  for (int i = 0; i < e->e_shnum; i++)
    if (s[i].sh_type != SHT_NOBITS && s[i].sh_offset + s[i].sh_size > end) end = s[i].sh_offset + s[i].sh_size;
  return end;
}

inline int read_image(const char* image, int arch, Image* out, std::string* complaint) {
  if (!memcmp(image, "\177ELF", 4)) return read_cubin(image, arch, out);
  if (!memcmp(image, "\x50\xED\x55\xBA", 4)) return read_fat_binary(image, arch, out);
  return read_ptx(image, arch, out, complaint);
}
