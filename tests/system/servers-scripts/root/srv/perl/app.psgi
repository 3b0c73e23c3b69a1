sub { [200, ['Content-Type' => 'text/plain'], ['hello from perl']] };
