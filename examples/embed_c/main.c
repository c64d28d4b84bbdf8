/* A network inside a C program: reads a picture of 28 x 28 bytes (0 black, 255 white), prints which digit it is.
 *   accelnn build out/digits-int8.accel -o net --lib                     libnet.a and net.h
 *   cc main.c libnet.a -o digit -lm -pthread -Wl,--gc-sections
 *   ./digit < picture.raw */
#include <stdio.h>
#include "net.h"

int main(void) {
  static unsigned char picture[28 * 28];
  static float pixels[28 * 28], scores[10];
  if (fread(picture, 1, sizeof picture, stdin) != sizeof picture) return fputs("28 x 28 bytes expected on stdin\n", stderr), 1;
  for (int i = 0; i < 28 * 28; i++) pixels[i] = (float)picture[i] / 255.0f;

  accelnn_model* net = accelnn_open_linked();
  accelnn_tensor x = {pixels, ACCELNN_F32, 4, {1, 1, 28, 28}};
  accelnn_tensor y = {scores, ACCELNN_F32, 2, {1, 10}};
  if (!net || accelnn_run(net, &x, &y)) return fprintf(stderr, "%s\n", accelnn_last_error()), 1;
  accelnn_close(net);

  int best = 0;
  for (int i = 1; i < 10; i++)
    if (scores[i] > scores[best]) best = i;
  printf("%d\n", best);
  return 0;
}
