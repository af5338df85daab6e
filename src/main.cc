#include "jobs/program.h"

int main(int argc, char** argv) {
  return switchyard::run_program(switchyard::jobs(), argc, argv);
}
