// Writes the first corpus: seeds FOLDER makes FOLDER/plan and FOLDER/npy.
#include <cstdio>
#include <string>
#include <sys/stat.h>
#include "tests/cpp/toy_plans.h"

static bool put(const std::string& path, const std::string& bytes) {
  FILE* f = fopen(path.c_str(), "wb");
  return f && fwrite(bytes.data(), 1, bytes.size(), f) == bytes.size() && !fclose(f);
}

int main(int argc, char** argv) {
  if (argc != 2) return fprintf(stderr, "seeds FOLDER\n"), 1;
  const std::string folder = argv[1];
  mkdir(folder.c_str(), 0777);
  mkdir((folder + "/plan").c_str(), 0777);
  mkdir((folder + "/npy").c_str(), 0777);
  bool ok = put(folder + "/plan/network", accelnn::toy::network().file()) && put(folder + "/plan/bounded", accelnn::toy::network(2, 9).file()) &&
            put(folder + "/plan/accumulator", accelnn::toy::accumulator().file()) && put(folder + "/plan/lookup", accelnn::toy::lookup().file()) &&
            put(folder + "/plan/flows", accelnn::toy::flows().file()) && put(folder + "/plan/hollow", accelnn::toy::hollow().file());
  const char* const headers[] = {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }\n",
                                 "{'descr': '|u1', 'fortran_order': False, 'shape': (), }",
                                 "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }"};
  int i = 0;
  for (const std::string header : headers)
    for (const int version : {1, 2}) {
      std::string s = "\x93NUMPY" + std::string(1, char(version)) + std::string(1, '\0') + char(header.size());
      s += std::string(version == 1 ? 1 : 3, '\0') + header;
      ok &= put(folder + "/npy/" + std::to_string(i++), s + std::string(header.find("u1") != std::string::npos ? 1 : 8, '\0'));
    }
  return ok ? 0 : 1;
}
