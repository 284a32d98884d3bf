#include "cli/session.h"

int main(int argc, char** argv) { return crisp::RunTool(argc, argv); }
