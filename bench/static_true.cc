// The yardstick's program: linked statically, does nothing.
int main() { return 0; }
