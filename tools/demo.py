from detection.commands.demo import main

if __name__ == "__main__":
    raise SystemExit(main())
